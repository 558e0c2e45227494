"""What was deleted, and files that are still to be"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('removal',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('file_key', sa.String(length=128), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_removal'))
    )
    op.create_index(op.f('ix_removal_file_key'), 'removal', ['file_key'], unique=False)
    with op.batch_alter_table('series', schema=None) as batch_op:
        batch_op.add_column(sa.Column('deleted_count', sa.Integer(), server_default='0', nullable=False))
    with op.batch_alter_table('job', schema=None) as batch_op:
        batch_op.add_column(sa.Column('inputs_received_at', sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table('result', schema=None) as batch_op:
        batch_op.add_column(sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True))
