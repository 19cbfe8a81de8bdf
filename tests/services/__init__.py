"""
The real servers the tests run against: an address from the environment, else Docker, else natively.

`python -m tests.services up mysql kafka`; tests ask `addresses.address("mysql")`.
To add a server: a line in `addresses.VARIABLES`, a module with a `SERVER`, an entry in `catalogue.SERVERS`.
"""
