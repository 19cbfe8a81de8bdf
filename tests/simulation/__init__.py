"""
The whole capture against simulated surroundings: everything that happens is decided by one seed.

    world.py        one life of a capture after another, all dice in one place
    capture.py      a process: the real service, its effects, its deaths
    mysql.py        servers: one history, each its own files        log_files.py, log_events.py: their bytes
    source.py       what the capture sees of a server               workload.py, history.py: what happens on it
    kafka.py        a broker with transactions                      clients.py: what librdkafka makes of it
    faults.py       what befalls it
    audit.py        what must hold after every step
    planted.py      faults that the audit must find
"""
