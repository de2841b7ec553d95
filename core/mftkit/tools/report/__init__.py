"""``report.html``: one self-contained page about a run, several runs, or a comparison.

plotly is imported when a page is made; nothing here needs torch, so that a page of any directory is quick.
"""
