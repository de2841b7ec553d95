"""The figure of bench/imbalance.py, as an SVG, and its data as CSV.

    python bench/imbalance_figure.py IMBALANCE.json FIGURE.svg TABLE.csv

For each share of the rare task: the difference of each arm from ``mixed``, plain cross-entropy with the same seed, in
the rare task's best validation loss, and in the mean over the other tasks; mean over seeds, with the range from the
lowest to the highest seed. Below 0 is better than plain cross-entropy.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

WIDTH, ROW, LEFT, TOP = 190, 20, 120, 56
COLORS = {"rare": "#e15759", "others": "#4e79a7"}


def differences(rows: list[dict[str, Any]], rare: str) -> list[dict[str, Any]]:
    """One row for each share and arm that has all of a seed: its differences from mixed, by seed."""
    losses: dict[tuple[float, str, int], dict[str, float]] = defaultdict(dict)
    for row in rows:
        losses[row["share"], row["arm"], row["seed"]][row["task"]] = row["loss"]
    found = []
    for share, arm, seed in sorted(losses, key=lambda key: (-key[0], key[1], key[2])):
        own, plain = losses[share, arm, seed], losses.get((share, "mixed", seed))
        if plain is None:
            continue
        others = [task for task in own if task != rare]
        found.append(
            {
                "share": share,
                "arm": arm,
                "seed": seed,
                "rare_loss": own[rare],
                "rare_minus_mixed": round(own[rare] - plain[rare], 4),
                "others_minus_mixed": round(fmean(own[task] - plain[task] for task in others), 4),
            }
        )
    return found


def draw(found: list[dict[str, Any]], rare: str) -> str:
    """A panel for each share, a row for each arm, two bars with the range over seeds."""
    arms = [arm for arm in dict.fromkeys(row["arm"] for row in found) if arm != "mixed"]
    shares = sorted({row["share"] for row in found}, reverse=True)
    values = [row[key] for row in found for key in ("rare_minus_mixed", "others_minus_mixed")]
    low, high = min(values), max(values)
    width, height = LEFT + len(shares) * (WIDTH + 20), TOP + len(arms) * ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#808080" role="img" aria-label="Loss of {rare} and of the others against mixed">',
        f'<text x="{LEFT}" y="14">best validation loss minus that of mixed, nats per token (left: better)</text>',
        f'<rect x="{LEFT}" y="22" width="10" height="6" fill="{COLORS["rare"]}"/>',
        f'<text x="{LEFT + 14}" y="29">{rare}, the rare task</text>',
        f'<rect x="{LEFT + 190}" y="22" width="10" height="6" fill="{COLORS["others"]}"/>',
        f'<text x="{LEFT + 204}" y="29">mean of the others</text>',
    ]
    parts += [
        f'<text x="{LEFT - 8}" y="{TOP + index * ROW + 14}" text-anchor="end">{arm}</text>'
        for index, arm in enumerate(arms)
    ]
    for index, share in enumerate(shares):
        x = LEFT + index * (WIDTH + 20)
        here = [row for row in found if row["share"] == share]
        parts.append(f'<g transform="translate({x},{TOP})">{panel(here, arms, share, (low, high))}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(rows: list[dict[str, Any]], arms: list[str], share: float, limits: tuple[float, float]) -> str:
    """The bars of one share."""
    low, high = limits
    bottom = len(arms) * ROW

    def at(value: float) -> float:
        return (value - low) / ((high - low) or 1.0) * WIDTH

    parts = [
        f'<text x="0" y="-8" font-weight="bold">{100 * share:g} % of the tokens</text>',
        f'<path d="M{at(0):.1f} 0V{bottom}" stroke="#808080"/>',
        f'<text x="0" y="{bottom + 14}">{low:+.2f}</text>',
        f'<text x="{at(0):.1f}" y="{bottom + 14}" text-anchor="middle">0</text>',
        f'<text x="{WIDTH}" y="{bottom + 14}" text-anchor="end">{high:+.2f}</text>',
    ]
    for index, arm in enumerate(arms):
        for offset, key in ((3, "rare"), (11, "others")):
            known = [row[f"{key}_minus_mixed"] for row in rows if row["arm"] == arm]
            if known:
                y, mean = index * ROW + offset, at(fmean(known))
                start, length = min(at(0), mean), abs(mean - at(0))
                parts.append(
                    f'<rect x="{start:.1f}" y="{y}" width="{length:.1f}" height="6" fill="{COLORS[key]}"/>'
                    f'<path d="M{at(min(known)):.1f} {y + 3}H{at(max(known)):.1f}" stroke="#808080"/>'
                )
    return "".join(parts)


def main() -> None:
    source, figure, table = (Path(argument) for argument in sys.argv[1:4])
    done = json.loads(source.read_text(encoding="utf-8"))
    found = differences(done["rows"], done["rare"])
    figure.write_text(draw(found, done["rare"]), encoding="utf-8")
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    for share in sorted({row["share"] for row in found}, reverse=True):
        for arm in dict.fromkeys(row["arm"] for row in found):
            rows = [row for row in found if (row["share"], row["arm"]) == (share, arm)]
            rare, others = (fmean(row[f"{key}_minus_mixed"] for row in rows) for key in ("rare", "others"))
            loss = fmean(row["rare_loss"] for row in rows)
            print(f"| {100 * share:g} % | {arm} | {loss:.3f} | {rare:+.3f} | {others:+.3f} | {len(rows)} |")


if __name__ == "__main__":
    main()
