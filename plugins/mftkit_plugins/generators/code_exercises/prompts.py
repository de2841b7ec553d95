"""Prompts of ``code-exercises``. Changing one changes which replies are reused."""

TEMPLATES = (
    "Write exercises that practise {topic} in {language}, for {level}.",
    "You are writing a chapter on {topic} of a textbook for {level}. Make up the {language} exercises at its end.",
    "Make up {language} exercises for {level} in which {topic} is what decides whether a solution is right.",
    "A team works with {language} every day. Make up exercises on {topic}, taken from such work, for {level}.",
    "Make up {language} exercises on {topic} that look easy to {level} and have an edge case that is easily \
missed.",
    "Make up {language} exercises for {level} that combine {topic} with one other idea, a different one each \
time.",
)
LEVELS = (
    "beginners who know the basic syntax",
    "students in their second year",
    "experienced developers",
)
REFINE = """Below is a request for programming exercises. Rewrite it so that it is more specific: choose a \
setting, a kind of data and a difficulty, and say what the exercises should make a reader think about. Keep its \
topic and its language. Answer with the rewritten request alone, in at most four sentences.

Request: {prompt}"""
EXERCISES = """{prompt}

Give {count} exercises. Each is solved by one {language} function or class, without input, files or network. \
State each completely: the name and the parameters of what is to be written, what it gives for which input, what \
it does in edge cases, and one or two examples. No solutions.

Answer with JSON and nothing else, a list of objects:
[{{"exercise": "the whole statement of the exercise"}}, ...]"""
SOLUTION = """Solve this exercise in {language}. Answer with one fenced block of code that holds the whole \
solution, with the imports that it needs, and nothing else.

{exercise}"""
