#!/bin/bash
# meepo2 0.2.5 of 2019.  The versions it asks for do not build on this Python, so it gets, without its own list, the
# newest ones that its code still works with.
set -e
"$PYTHON" -m venv "$PEER_HOME/venv"
"$PEER_HOME/venv/bin/pip" -q install "setuptools<70" wheel
"$PEER_HOME/venv/bin/pip" -q install --no-deps meepo2==0.2.5 mysql-replication==0.29 blinker==1.4 PyMySQL==1.1.1 \
    SQLAlchemy==1.4.54 redis==3.5.3 pyzmq==26.2.0 click==8.1.7 greenlet==3.1.1 six==1.16.0 packaging==24.2 \
    confluent-kafka==2.16.1
