"""From a request and a snapshot to an answer: a pure function that knows no HTTP.

Answers are built as plain values, which are written as JSON at once; their shape is
`serving.schema.RecommendationResponse`.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from recsys.query import Query
from recsys.recommender import Recommended
from serving.contributing import add_contributions
from serving.debugging import debug_items
from serving.experiments import Assignment
from serving.filters import allowed_items, relaxed, within
from serving.live_query import hidden_items, with_session
from serving.live_users import LiveUser
from serving.paging import Page
from serving.ranking import DEBUG, WRITE, Budget, Question, Ranked, at_once
from serving.reasons import quote_from_another, reason_text
from serving.schema import Degraded, RecommendationRequest
from serving.schema_types import MAX_K
from serving.segments import Segment
from serving.snapshot import Found, Snapshot
from serving.wishes import wished_factors

SEARCHED_ITEMS = 5
"""So many items that a search is about most count as looked at."""
_NOTHING_LIVE = LiveUser()
_IMPERSONAL = ("no_user_id", "unknown_user", "no_history", "segment_only")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request and what comes with it.

    Attributes:
        request: What is asked.
        request_id: Carried into the answer; the same question under the same id on the same day and
            from the same snapshot is answered alike, also where it explores.
        now: The moment of asking.
        before: The page before, where this is a later one.
        assignment: To a variant of an experiment; None where the user is in none.
        budget: The time it may take.
        is_stale: Whether what happened just now could not be asked for.
    """

    request: RecommendationRequest
    request_id: str
    now: datetime
    before: Page | None = None
    assignment: Assignment | None = None
    budget: Budget = field(default_factory=Budget)
    is_stale: bool = False


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer and what it leaves behind.

    Attributes:
        body: In the shape of `RecommendationResponse`; `next_token` is null.
        page: What the next page has to know; None where there is none.
        found: What it was made of; None where nothing was looked for.
    """

    body: dict[str, Any]
    page: Page | None
    found: Found | None


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who is asked about.

    Attributes:
        name: Under which the tables know a user; None for a stranger.
        query: What is known; None for nothing.
        segment: Where nothing else is known.
        notes: What is not known, as degradations.
    """

    name: str | None
    query: Query | None
    segment: Segment | None
    notes: tuple[Degraded, ...]


def visitor_of(asked: Asked, snapshot: Snapshot) -> Visitor:
    """Find out who is asked about."""
    request = asked.request
    name = snapshot.known_as(request.user_id)
    query = snapshot.query(name)
    notes: list[Degraded] = list(_unknown(request.user_id, query))
    seen = _session_items(request, snapshot)
    if seen:
        now = _microseconds(asked.now)
        query = with_session(query or Query.of_stranger(), seen, now)
        notes = ["session_only"] if notes else []
    segment = _segment(request, snapshot, name, query) if notes and not seen else None
    if segment is not None:
        notes = ["segment_only"]
    return Visitor(name=name, query=query, segment=segment, notes=tuple(notes))


def answer(asked: Asked, snapshot: Snapshot, visitor: Visitor | None = None) -> Answered:
    """Return what `answering` returns, ranked at once."""
    return at_once(answering(asked, snapshot, visitor))


def answering(
    asked: Asked, snapshot: Snapshot, visitor: Visitor | None = None
) -> Generator[Question, Ranked, Answered]:
    """Recommend; asks for what has to be ranked, and goes on with what it is sent.

    A visitor of whom nothing is known gets what is popular, and the answer says so.

    Args:
        asked: What.
        snapshot: What to answer from.
        visitor: What `visitor_of` returned for both; None to find out.

    Returns:
        At most k items; none that was bought or dismissed, none that was on a page before, none
        that a filter leaves out.
    """
    request, catalogue = asked.request, snapshot.catalogue
    factor, ignored = wished_factors(request, catalogue, snapshot.aspects)
    if request.validate_only:
        return _answered(asked, snapshot, None, [], [], ignored=ignored)
    visitor = visitor or visitor_of(asked, snapshot)
    name, query, segment = visitor.name, visitor.query, visitor.segment
    live = snapshot.live_user(name) or _NOTHING_LIVE
    now = _microseconds(asked.now)
    notes: list[Degraded] = list(visitor.notes)
    is_personal = not set(notes) & set(_IMPERSONAL)
    is_known = not notes
    if asked.is_stale:
        notes.append("stale")
    hidden = _hidden(asked, snapshot, live)
    # Not only of the candidates: others are to take their places.
    is_wanted = None if factor is None or factor.all() else factor > 0

    def left_of(passed: np.ndarray | None) -> np.ndarray | None:
        left = within(passed, hidden, len(catalogue))
        if is_wanted is None:
            return left
        return is_wanted if left is None else left & is_wanted

    def found_among(
        allowed: np.ndarray | None,
    ) -> Generator[Question, Ranked, Found | None]:
        found = yield from snapshot.recommending(
            query,
            request.k,
            allowed,
            diversity=request.diversity,
            factor=factor,
            min_relevance=request.min_relevance,
            now=now,
            seed=_seed(asked, name),
            budget=asked.budget,
            segment=segment,
            name=None if query is None else name,
            with_causes=request.explain,
        )
        return found if len(found.shown.item_idx) else None

    allowed = left_of(allowed_items(request.filters, catalogue))
    found = None
    page = None if request.session is None or is_known else request.session.category
    if page:
        found = yield from found_among(catalogue.only_of(page, allowed))
    if found is None:
        found = yield from found_among(allowed)
    # A later page goes on with what the first one was about.
    may_relax = not request.strict_filters and asked.before is None
    if found is None and request.filters is not None and may_relax:
        found = yield from found_among(left_of(allowed_items(relaxed(request.filters), catalogue)))
        notes.insert(0, "filters_relaxed")
    if found is None:
        notes = [_why_nothing(request, is_left_out=is_wanted is not None), *_still(notes)]
        return _answered(asked, snapshot, None, notes, [], ignored=ignored)
    if found.ranked.lacking is not None:
        # Where the filters do not hold, that says more.
        notes.insert(int("filters_relaxed" in notes), found.ranked.lacking)
    with asked.budget.times.stage(WRITE):
        items = _items(found.shown, snapshot, asked)
        if request.explain:
            _add_reasons(
                items, found.shown, query, snapshot, name, live, asked, is_personal=is_personal
            )
    if request.contributions:
        with asked.budget.times.stage(DEBUG):
            add_contributions(items, found, query, snapshot)
    if request.debug:
        with asked.budget.times.stage(DEBUG):
            _add_debug(items, found, query, snapshot)
    return _answered(asked, snapshot, found, notes, items, ignored=ignored)


def _why_nothing(request: RecommendationRequest, *, is_left_out: bool) -> Degraded:
    is_filtered = request.filters is not None and bool(request.filters.model_fields_set)
    if is_filtered or is_left_out:
        return "no_item_matches_filters"
    return "nothing_relevant" if request.min_relevance else "everything_bought"


def _still(notes: Iterable[Degraded]) -> list[Degraded]:
    """Return what is to be said beside an empty list."""
    return [note for note in notes if note == "stale"]


def _seed(asked: Asked, name: str | None) -> int:
    """Return the seed of the exploration: of the request, who asks, and the day."""
    session = asked.request.session
    visitor = name or (session.session_id if session is not None else None)
    told = f"{asked.request_id}\x00{visitor}\x00{asked.now.date()}"
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8])


def _hidden(asked: Asked, snapshot: Snapshot, live: LiveUser) -> list[int]:
    """Return what must not be shown: dismissed, wrong as a reason, or on a page before."""
    shown = () if asked.before is None else asked.before.shown
    return hidden_items(live, snapshot.catalogue.index) + snapshot.item_hashes.items(shown)


def _session_items(request: RecommendationRequest, snapshot: Snapshot) -> list[int]:
    """Return what is looked at or searched for right now, each item once, the latest last."""
    if request.session is None:
        return []
    index = snapshot.catalogue.index
    looked_at = [index[item] for item in request.session.item_ids or () if item in index]
    query = request.session.query
    searched = [] if query is None else snapshot.deferred.search.best(query, SEARCHED_ITEMS)
    latest_first = dict.fromkeys([*reversed(looked_at), *searched])
    return list(reversed(latest_first))


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)


def _segment(
    request: RecommendationRequest, snapshot: Snapshot, name: str | None, query: Query | None
) -> Segment | None:
    """Return the segment of somebody without a history; None where it is unknown."""
    language = None if request.session is None else request.session.language
    if language is None and query is not None:
        language = snapshot.profile_of(name).get("language")
    return None if language is None else snapshot.segments.get(language)


def _unknown(user_id: str | None, query: Query | None) -> Iterator[Degraded]:
    if query is not None and (len(query.bought.item_idx) or len(query.browsed.item_idx)):
        return
    if user_id is None:
        yield "no_user_id"
    else:
        yield "unknown_user" if query is None else "no_history"


def _answered(
    asked: Asked,
    snapshot: Snapshot,
    found: Found | None,
    notes: Sequence[Degraded],
    items: list[dict[str, Any]],
    *,
    ignored: list[str],
) -> Answered:
    request, assignment = asked.request, asked.assignment
    recommendation_id = f"rec_{_short_hash(asked)}" if items else None
    body = {
        "request_id": asked.request_id,
        "model_version": snapshot.manifest.version,
        "recommendation_id": recommendation_id,
        "user_id": request.user_id,
        "experiment": None if assignment is None else assignment.experiment,
        "variant": None if assignment is None else assignment.variant,
        "degraded": notes[0] if notes else None,
        "degradations": list(notes),
        "ignored_aspects": ignored,
        "next_token": None,
        "items": items,
    }
    page = None
    before = () if asked.before is None else asked.before.shown
    # Relevance is comparable within one answer: a least one holds for one page alone.
    has_more = not request.min_relevance and len(before) + len(items) < MAX_K
    if found is not None and recommendation_id is not None and has_more:
        page = Page(
            recommendation_id=recommendation_id,
            request=request.model_dump(exclude_defaults=True),
            shown=(*before, *snapshot.item_hashes.written(found.shown.item_idx)),
        )
    return Answered(body=body, page=page, found=found)


def _short_hash(asked: Asked) -> str:
    """Name an answer by what no two have in common: who asked, when, and under which id."""
    told = f"{asked.request_id}\x00{asked.request.user_id}\x00{asked.now.timestamp()}"
    return hashlib.blake2b(told.encode(), digest_size=10).hexdigest()


def _items(found: Recommended, snapshot: Snapshot, asked: Asked) -> list[dict[str, Any]]:
    catalogue = snapshot.catalogue
    first_rank = 1 if asked.before is None else 1 + len(asked.before.shown)
    rows = zip(
        found.item_idx.tolist(), found.score.tolist(), found.propensity.tolist(), strict=True
    )
    return [
        {
            "item_id": catalogue.item_ids[idx],
            "rank": rank,
            "score": score,
            "propensity": propensity,
            "title": catalogue.titles[idx],
            "brand": catalogue.brands[idx],
            "price_cents": catalogue.price_cents[idx],
            "reason": None,
        }
        for rank, (idx, score, propensity) in enumerate(rows, start=first_rank)
    ]


def _add_reasons(
    items: list[dict[str, Any]],
    found: Recommended,
    query: Query | None,
    snapshot: Snapshot,
    user_id: str | None,
    live: LiveUser,
    asked: Asked,
    *,
    is_personal: bool,
) -> None:
    catalogue = snapshot.catalogue
    felt: dict[int, float] = {}
    if query is not None:
        bought = query.bought
        felt.update(zip(bought.item_idx.tolist(), bought.sentiment.tolist(), strict=True))
    preferred = {
        name
        for wish in asked.request.prefer_aspects or ()
        for name in snapshot.aspects.meant_by(wish)
    }
    erased = frozenset() if snapshot.live is None else snapshot.live.erased
    for item, source, cause in zip(items, found.source, found.because.tolist(), strict=True):
        quote = quote_from_another(
            snapshot.quotes,
            item["item_id"],
            user_id,
            erased=erased,
            wrong=live.wrong_quotes,
            aspects=preferred,
        )
        item["reason"] = {
            "text": reason_text(
                source=source,
                because=catalogue.name(cause) if cause >= 0 else None,
                felt=felt.get(cause, np.nan),
                is_personal=is_personal,
            ),
            "because_item_id": catalogue.item_ids[cause] if cause >= 0 else None,
            "quote": None if quote is None else quote._asdict(),
            "source": source,
        }


def _add_debug(
    items: list[dict[str, Any]], found: Found, query: Query | None, snapshot: Snapshot
) -> None:
    asked = query or Query.of_stranger()
    told = debug_items(snapshot.recommender, asked, found.ranked, found.shown.item_idx)
    for item, debug in zip(items, told, strict=True):
        item["debug"] = debug
