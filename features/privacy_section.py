"""The section `[privacy]` of the configuration file, for whoever reads it."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from features.pseudonyms import Pseudonyms


class PrivacySection(BaseModel):
    """`[privacy]`: whether tables hold pseudonyms in place of ids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pseudonymise: bool = False
    key_file: str | None = None
    """File with 64 hexadecimal digits; the environment's SENTIREC_KEY comes first."""

    def pseudonyms(self) -> "Pseudonyms | None":
        """Read the key where there is one to be used.

        Raises:
            PseudonymKeyError: If it is wanted and cannot be read.
        """
        if not self.pseudonymise:
            return None
        from features.pseudonyms import Pseudonyms

        return Pseudonyms.read(self.key_file)
