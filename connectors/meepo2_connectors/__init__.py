"""The connectors that come with meepo2-cdc, a folder each."""
