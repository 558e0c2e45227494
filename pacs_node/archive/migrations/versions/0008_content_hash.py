"""The hash of an instance names its algorithm"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('instance', schema=None) as batch_op:
        batch_op.alter_column('sha256', new_column_name='content_hash', existing_type=sa.String(length=64), type_=sa.String(length=80), existing_nullable=False)
    instance = sa.table('instance', sa.column('content_hash', sa.String()))
    op.execute(instance.update().values(content_hash='sha256:' + instance.c.content_hash))
