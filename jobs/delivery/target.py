"""Where a list goes, and by which rules."""

from dataclasses import dataclass

from jobs.delivery.delivery import Destination
from recsys.segments.admission import FrequencyCap
from recsys.segments.holdout import Holdout
from recsys.segments.section import LEAST_SIZE


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a list goes, and by which rules.

    Attributes:
        name: Of the destination.
        destination: It.
        channel: Whose consent is needed.
        cap: How often people may be written to in the channel; None for any number.
        holdout: Who is left alone; None for nobody.
        min_size: Smaller lists are refused.
        least_export_change: A whole list may differ from the one before by nobody or at least so
            many; None for any.
        least_sync_change: The same of an update, which is held back until there are so many.
        is_contact: Whether being put on the list counts as a contact.
    """

    name: str
    destination: Destination
    channel: str
    cap: FrequencyCap | None = None
    holdout: Holdout | None = None
    min_size: int = LEAST_SIZE
    least_export_change: int | None = None
    least_sync_change: int | None = None
    is_contact: bool = True
