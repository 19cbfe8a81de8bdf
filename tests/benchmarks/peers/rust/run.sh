#!/bin/bash
exec "$PEER_HOME/peer"
