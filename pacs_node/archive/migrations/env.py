"""Run by Alembic, with the connection that `archive.session` opened."""

from alembic import context

from pacs_node.archive.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
