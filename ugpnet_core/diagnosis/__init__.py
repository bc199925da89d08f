"""What of this installation works, what does not, and what to do about it; without torch as far as
can be, which may be what is broken."""

from ugpnet_core.diagnosis.checks import diagnose
from ugpnet_core.diagnosis.finding import Finding

__all__ = ["Finding", "diagnose"]
