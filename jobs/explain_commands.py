"""The commands `sentirec sentiment explain` and `fairness`: why a polarity, and for whom."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jobs.errors import BadInputError
from jobs.options import ConfigOption, DeviceOption, JsonOption
from jobs.output import STDOUT, Output
from jobs.progress import StepBars
from jobs.stage_commands import load_scorer, load_settings
from jobs.whole_files import write_whole

if TYPE_CHECKING:
    from jobs.fairness import GroupShift
    from sentiment.explaining import Explanation
    from sentiment.scorer import ScorerConfig

_SHOWN_PAIRS = 5
# A larger one is of the size of what words get.
_LARGEST_GAP = 0.05


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command()(explain)
    app.command()(fairness)


def explain(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")],
    steps: Annotated[
        int, typer.Option(min=2, help="Points of the path; more are slower and more exact.")
    ] = 32,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with coloured words.")
    ] = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Show which words moved the polarity of one text (integrated gradients).

    The model of the text's main language reads it in one pass, up to max_tokens of sentirec.toml.
    """
    from dataclasses import asdict

    from jobs.write_explanation import explanation_page
    from sentiment.cleaning import clean_text
    from sentiment.language import detect_language

    output, settings = Output(json), _scorer_config(device, config)
    cleaned = clean_text(_stdin() if text == STDOUT else text)
    language = detect_language(cleaned)
    file = settings.chinese if language == "zh" else settings.english
    explanation = _explained(file, cleaned, steps, settings)
    output.console.print(_coloured(explanation))
    output.console.print(_words_table(explanation))
    output.console.print(
        f"polarity {explanation.polarity:+.3f}, without the words "
        f"{explanation.baseline_polarity:+.3f}; gap {explanation.completeness_gap:+.4f}; "
        f"language {language}, model {file.stem}"
    )
    if explanation.truncated:
        output.console.print(
            f"only the first {len(explanation.words):,} words were read; [score] max_tokens says "
            "how many a review model reads in one pass",
            markup=False,
        )
    if abs(explanation.completeness_gap) > _LARGEST_GAP:
        output.console.print(f"the gap is large: try more than --steps {steps}")
    if html is not None:
        page = explanation_page(explanation, model=file.stem, language=language)
        write_whole(html, page)
    content = asdict(explanation) | {"language": language, "model": file.stem}
    content["words"] = [
        {"text": cleaned[word.start : word.end], **asdict(word)} for word in explanation.words
    ]
    output.write_json(content)


def fairness(
    file: Annotated[
        Path | None,
        typer.Option(help="Real texts in CSV, JSON lines or Parquet; default: our templates."),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of texts of the file.")] = None,
    words: Annotated[
        Path | None, typer.Option(help="List of identity words (TOML); default: ours.")
    ] = None,
    most_pairs: Annotated[
        int, typer.Option(min=1, help="Pairs scored of each two groups; of more, some are drawn.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and of the intervals.")] = 0,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Measure how far polarity moves when names, genders, countries or ages are swapped.

    It tests swaps of listed words in short sentences, or in texts of yours, and not every bias.
    """
    from jobs.fairness import fairness_report, find_pairs, measure_shifts, read_column
    from sentiment.identity_words import IDENTITY_WORDS_FILE, IdentityWords

    output = Output(json)
    if file is None and text_column is not None:
        raise BadInputError("--text-column names a column of a file: give --file too")
    listed = IdentityWords.load(words or IDENTITY_WORDS_FILE)
    texts = None if file is None else read_column(file, text_column)
    pairs = find_pairs(listed, texts)
    scorer = load_scorer(device, config)
    with StepBars() as bars:
        shifts = measure_shifts(
            scorer,
            pairs,
            seed=seed,
            most_pairs=most_pairs,
            progress=lambda done, total: bars.step("score", done, total),
        )
    where = f"{len(texts):,} texts" if texts is not None else "templates"
    output.console.print(f"swaps in {where}, model {scorer.version}")
    for table in (*_shifts_tables(shifts), _largest_table(shifts)):
        output.console.print(table)
    output.console.print(_what_it_says(shifts))
    output.write_json(
        fairness_report(
            shifts,
            version=scorer.version,
            num_texts=None if texts is None else len(texts),
            seed=seed,
        )
    )


def _scorer_config(device: str | None, config: Path | None) -> "ScorerConfig":
    from jobs.settings import score_config

    settings = score_config(load_settings(config, device))
    if settings.scorer.device == "cpu":
        from sentiment.torch_threads import use_threads

        use_threads(settings.threads)
    return settings.scorer


def _explained(file: Path, text: str, steps: int, settings: "ScorerConfig") -> "Explanation":
    from sentiment.explaining import explain
    from sentiment.model_file import load_model

    return explain(
        load_model(file),
        text,
        steps=steps,
        max_tokens=settings.max_tokens,
        batch_tokens=settings.tokens_a_batch,
        device=settings.device,
    )


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError(f"standard input is not UTF-8: {error}") from error


def _coloured(explanation: "Explanation") -> Text:
    """Return the text on red where words made it negative and on blue where positive."""
    shown = Text(explanation.text)
    strongest = max((abs(word.attribution) for word in explanation.words), default=0.0)
    for word in explanation.words:
        depth = int(200 * abs(word.attribution) / strongest) if strongest else 0
        colour = f"#0000{depth:02x}" if word.attribution > 0 else f"#{depth:02x}0000"
        if depth >= 20:
            shown.stylize(f"white on {colour}", word.start, word.end)
    return shown


def _words_table(explanation: "Explanation") -> Table:
    table = Table(title="what moved the polarity most")
    table.add_column("word")
    table.add_column("share", justify="right")
    for word in sorted(explanation.words, key=lambda word: -abs(word.attribution))[:10]:
        shown = Text(explanation.text[word.start : word.end])
        table.add_row(shown, f"{word.attribution:+.4f}")
    return table


def _shifts_tables(shifts: "list[GroupShift]") -> Iterator[Table]:
    """Yield one table a language and kind, the largest means first."""
    for language, kind in dict.fromkeys((shift.language, shift.kind) for shift in shifts):
        table = Table(title=f"{language}: {kind}", box=SIMPLE_HEAD, title_justify="left")
        table.add_column("from")
        table.add_column("to")
        for name in ("pairs", "sources", "mean shift (95%)", "largest", "flips"):
            table.add_column(name, justify="right")
        table.add_column("verdict")
        of_kind = [shift for shift in shifts if (shift.language, shift.kind) == (language, kind)]
        for shift in sorted(of_kind, key=lambda shift: -abs(shift.mean_shift)):
            interval = "" if shift.low is None else f" ({shift.low:+.3f} to {shift.high:+.3f})"
            table.add_row(
                Text(shift.group),
                Text(shift.other_group),
                f"{shift.num_pairs:,}",
                f"{shift.num_sources:,}",
                f"{shift.mean_shift:+.3f}{interval}",
                f"{shift.largest.shift:+.3f}",
                f"{shift.flipped_share:.1%}",
                shift.verdict,
            )
        yield table


def _largest_table(shifts: "list[GroupShift]") -> Table:
    table = Table(title="the pairs that moved most")
    table.add_column("polarity", justify="right")
    table.add_column("text", overflow="fold")
    for shift in sorted(shifts, key=lambda shift: -abs(shift.largest.shift))[:_SHOWN_PAIRS]:
        largest = shift.largest
        table.add_row(f"{largest.polarity:+.3f}", Text(largest.text))
        table.add_row(f"{largest.other_polarity:+.3f}", Text(largest.other_text), end_section=True)
    return table


def _what_it_says(shifts: "list[GroupShift]") -> str:
    from jobs.fairness import LEAST_SHIFT, SHIFT

    num_shifts = sum(shift.verdict == SHIFT for shift in shifts)
    return (
        f"{num_shifts} of {len(shifts)} pairs of groups shift: the interval of the mean excludes "
        f"zero and the mean is beyond {LEAST_SHIFT:g}. About one interval in twenty excludes zero "
        "by chance, and intervals are over sentences: other words of a group may do otherwise. "
        "This tests swaps of listed words: where no shift is found, there may still be bias in "
        "other words, in other texts or in the ratings that the model learnt from."
    )
