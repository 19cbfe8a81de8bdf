"""
Each connector beside the limit that its target and client set.
"""
