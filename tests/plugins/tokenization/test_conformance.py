from built_in import suites
from mftkit.plugins import kinds
from mftkit.testing import TokenizationModeConformance
from mftkit_plugins.tokenization.pack import Pack
from mftkit_plugins.tokenization.padding import DynamicPadding

globals().update(suites(kinds.TOKENIZATION_MODE))


class TestPackSharedByTask(TokenizationModeConformance):
    component = Pack
    options = {"attention": "shared", "scope": "task"}


class TestDynamicPaddingByLength(TokenizationModeConformance):
    component = DynamicPadding
    options = {"group_by_length": 4}
