from built_in import suites

globals().update(suites("model-adapter"))
