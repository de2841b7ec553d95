from built_in import suites
from mftkit.plugins import kinds

globals().update(suites(kinds.TUNING))
