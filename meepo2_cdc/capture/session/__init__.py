"""SQLAlchemy sessions as a source: which rows a session changed, published when it commits.  docs/sqlalchemy.md."""
