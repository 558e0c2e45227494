from __future__ import annotations

from dataclasses import replace
from math import inf

from pacs_node.domain.transfers import Transfer, Transfers

FROM_CT = Transfer(calling_ae_title="CT1", address="10.0.0.1", study_instance_uid="1.2.3")
OTHER_STUDY = replace(FROM_CT, study_instance_uid="1.2.4")
OTHER_PEER = replace(FROM_CT, calling_ae_title="CT2")


def test_a_transfer_begins_once_and_ends_once_with_its_count() -> None:
    transfers = Transfers(quiet_s=10)
    assert transfers.stored([FROM_CT, FROM_CT], 0) == (FROM_CT,)
    assert transfers.stored([FROM_CT], 9) == ()
    assert transfers.ended(18.9) == ()
    assert transfers.ended(19) == (replace(FROM_CT, instances=3),)
    assert transfers.ended(1000) == ()


def test_studies_and_peers_are_transfers_of_their_own() -> None:
    transfers = Transfers(quiet_s=10)
    assert set(transfers.stored([FROM_CT, OTHER_STUDY, OTHER_PEER], 0)) == {FROM_CT, OTHER_STUDY, OTHER_PEER}
    transfers.stored([OTHER_STUDY], 5)
    assert {transfer.study_instance_uid for transfer in transfers.ended(10)} == {"1.2.3"}


def test_what_comes_later_is_a_new_transfer() -> None:
    transfers = Transfers(quiet_s=10)
    transfers.stored([FROM_CT], 0)
    transfers.ended(10)
    assert transfers.stored([FROM_CT], 11) == (FROM_CT,)


def test_all_end_when_the_node_stops() -> None:
    transfers = Transfers(quiet_s=10)
    transfers.stored([FROM_CT, OTHER_PEER], 5)
    assert len(transfers.ended(inf)) == 2
