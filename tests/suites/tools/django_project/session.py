"""What an application does with Django's ORM, each step with what came of it.

Printed so that the same lines come from any server that is PostgreSQL: no number of a row's own,
no time of the clock. Run in an environment that has Django and psycopg.
"""

from __future__ import annotations

import datetime
import io
import os
import traceback
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    ExtractYear,
    Length,
    Lower,
    Now,
    Rank,
    RowNumber,
    Substr,
    TruncMonth,
    Upper,
)
from shelf.models import Author, Book, Loan, Tag

UTC = datetime.UTC
TITLES = ("Dune", "Emma", "Ulysses", "Walden", "Middlemarch", "Persuasion", "Dubliners")


def step(name: str, act: Callable[[], Any]) -> None:
    """One line: the step, and its answer or its error. The answer's own newlines are kept."""
    try:
        found = act()
    except Exception as exc:
        if "TOOL_TRACE" in os.environ:
            traceback.print_exc()
        first = str(exc).splitlines()[0] if str(exc) else ""
        print(f"== {name}\n{type(exc).__name__}: {first}", flush=True)
    else:
        print(f"== {name}\n{found!r}", flush=True)


def command(*words: str, **options: Any) -> list[str]:
    """A command of manage.py: the lines it prints."""
    said = io.StringIO()
    call_command(*words, stdout=said, stderr=said, no_color=True, **options)
    return said.getvalue().splitlines()


def day(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def migrating() -> None:
    step("check", lambda: command("check", "--database", "default"))
    step("showmigrations", lambda: command("showmigrations", "--plan"))
    step("migrate", lambda: command("migrate"))
    step("migrate again", lambda: command("migrate"))
    step("makemigrations finds nothing", lambda: command("makemigrations", "--check", "--dry-run"))
    step("sqlmigrate", lambda: command("sqlmigrate", "shelf", "0002"))
    step("content types", lambda: ContentType.objects.count())
    step("permissions", lambda: Permission.objects.filter(codename__startswith="add_").count())


def creating() -> None:
    def authors() -> Any:
        jane = Author.objects.create(name="Jane", born=datetime.date(1775, 12, 16))
        james = Author(name="James", born=datetime.date(1882, 2, 2), mentor=jane)
        james.save()
        Author.objects.bulk_create([Author(name="Frank", mentor=james), Author(name="Mary")])
        return Author.objects.count()

    def books() -> Any:
        names = ["Frank", "Jane", "James", "Mary", "Mary", "Jane", "James"]
        owner = {author.name: author for author in Author.objects.all()}
        made = Book.objects.bulk_create(
            Book(
                title=title,
                author=owner[name],
                price=Decimal("7.50") + at,
                pages=100 * (at + 1),
                published=day(f"20{10 + at}-0{at + 1}-15T12:30:00"),
                code=uuid.UUID(int=at + 1),
                about={"shelf": at, "words": [title.lower(), None], "deep": {"er": at % 2 == 0}},
                cover=bytes([0, 255, at]),
                length=datetime.timedelta(days=at, seconds=90),
                weight=0.25 * at,
            )
            for at, (title, name) in enumerate(zip(TITLES, names, strict=True))
        )
        return [book.pk is not None for book in made]

    step("create authors", authors)
    step("bulk_create books", books)
    step(
        "get_or_create, there",
        lambda: Author.objects.get_or_create(name="Jane", defaults={"born": None})[1],
    )
    step("get_or_create, made", lambda: Tag.objects.get_or_create(word="sea")[1])
    step(
        "update_or_create",
        lambda: Author.objects.update_or_create(
            name="Mary", defaults={"born": datetime.date(1819, 11, 22)}
        )[1],
    )
    step(
        "bulk_create, ignoring conflicts",
        lambda: len(
            Tag.objects.bulk_create(
                [Tag(word="sea"), Tag(word="sand"), Tag(word="irony")], ignore_conflicts=True
            )
        ),
    )
    step(
        "bulk_create, updating conflicts",
        lambda: len(
            Author.objects.bulk_create(
                [Author(name="Frank", born=datetime.date(1920, 10, 8))],
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=["born"],
            )
        ),
    )
    step("what it updated", lambda: Author.objects.get(name="Frank").born)

    def tagging() -> Any:
        sand, irony, sea = (Tag.objects.get(word=word) for word in ("sand", "irony", "sea"))
        Book.objects.get(title="Dune").tags.add(sand)
        Book.objects.get(title="Ulysses").tags.set([irony, sea])
        irony.books.add(*Book.objects.filter(author__name="Jane"))
        return Book.tags.through.objects.count()

    step("many-to-many", tagging)
    step("a user", lambda: User.objects.create_user("ann", "ann@example.org", "pw").username)
    step("a superuser", lambda: User.objects.create_superuser("root", password="pw").is_superuser)
    step("authenticate", lambda: str(authenticate(username="ann", password="pw")))
    step("authenticate, wrong", lambda: authenticate(username="ann", password="no"))


def reading() -> None:
    books = Book.objects
    step("all", lambda: [str(book) for book in books.all()])
    step("get", lambda: books.get(title="Emma").price)
    step("get, missing", lambda: books.get(title="Nothing"))
    step("get, several", lambda: books.get(author__name="Jane"))
    step("first and last", lambda: (books.first(), books.last()))
    step("slice", lambda: list(books.order_by("-price")[1:4].values_list("title", flat=True)))
    step("exists", lambda: (books.filter(pages__gt=600).exists(), books.filter(pages=1).exists()))
    step("in_bulk", lambda: sorted(Tag.objects.in_bulk(["sea", "sand", "x"])))
    step("Q", lambda: list(books.filter(Q(price__lt=9) | ~Q(author__name="Mary") & Q(pages=600))))
    step("F", lambda: list(books.filter(pages__gt=F("price") * 40).order_by("pages")))
    for lookup, value in (
        ("title__icontains", "U"),
        ("title__istartswith", "d"),
        ("title__iexact", "EMMA"),
        ("title__endswith", "s"),
        ("title__contains", "%"),
        ("title__regex", r"^[DE]\w+"),
        ("title__iregex", r"^[de]"),
        ("title__in", ["Emma", "Dune"]),
        ("price__range", (8, 10)),
        ("published__year", 2012),
        ("published__month__gte", 5),
        ("published__date", datetime.date(2011, 2, 15)),
        ("published__week_day", 3),
        ("published__hour", 12),
        ("author__born__isnull", True),
        ("author__mentor__name", "Jane"),
        ("tags__word", "irony"),
        ("code", uuid.UUID(int=3)),
        ("length__gt", datetime.timedelta(days=4)),
        ("about__shelf", 2),
        ("about__shelf__gte", 4),
        ("about__deep__er", True),
        ("about__words__0", "emma"),
        ("about__has_key", "deep"),
        ("about__has_any_keys", ["x", "shelf"]),
        ("about__contains", {"shelf": 3}),
        ("about__deep__contains", {"er": False}),
        ("about__contained_by", {"shelf": 3}),
        ("about__words__0__icontains", "MM"),
    ):
        step(lookup, lambda lookup=lookup, value=value: list(books.filter(**{lookup: value})))
    step("exclude", lambda: list(books.exclude(tags__word="irony")))
    step("distinct", lambda: list(books.filter(tags__isnull=False).distinct()))
    step(
        "join both ways", lambda: list(Author.objects.filter(books__tags__word="irony").distinct())
    )
    step(
        "select_related", lambda: [b.author.mentor for b in books.select_related("author__mentor")]
    )
    step(
        "prefetch_related",
        lambda: [(str(a), [str(b) for b in a.books.all()]) for a in _with_books()],
    )
    step("values", lambda: list(books.values("author__name").order_by("author__name")[:3]))
    step("only and defer", lambda: [b.pages for b in books.only("title").defer("cover")[:2]])
    step("json back", lambda: books.get(title="Dune").about)
    step("bytes back", lambda: bytes(books.get(title="Emma").cover))
    step("duration back", lambda: books.get(title="Walden").length)
    step("float back", lambda: books.get(title="Walden").weight)
    step("time back", lambda: books.get(title="Walden").published)
    step(
        "union",
        lambda: list(books.filter(pages=100).union(books.filter(pages=200)).order_by("title")),
    )
    step("difference", lambda: books.all().difference(books.filter(pages__gt=300)).count())
    step("iterator", lambda: sum(1 for _ in books.iterator(chunk_size=2)))
    step("dates", lambda: list(books.datetimes("published", "year"))[:2])
    step("explain", lambda: isinstance(books.filter(pages=1).explain(), str))
    step(
        "raw", lambda: [b.title for b in books.raw("SELECT * FROM shelf_book ORDER BY id LIMIT 2")]
    )


def _with_books() -> Any:
    cheap = Book.objects.filter(price__lt=12).order_by("title")
    return Author.objects.prefetch_related(Prefetch("books", queryset=cheap))


def aggregating() -> None:
    books = Book.objects
    step(
        "aggregate",
        lambda: books.aggregate(
            n=Count("id"), s=Sum("price"), a=Avg("pages"), lo=Min("title"), hi=Max("published")
        ),
    )
    step("aggregate of floats", lambda: books.aggregate(Avg("weight"), Sum("weight")))
    step("deviation", lambda: round(books.aggregate(d=StdDev("pages"))["d"], 6))
    step("sum of durations", lambda: books.aggregate(Sum("length")))
    step("average of decimals", lambda: books.aggregate(Avg("price")))
    step(
        "annotate",
        lambda: list(
            Author.objects.annotate(n=Count("books"), total=Sum("books__price"))
            .order_by("name")
            .values_list("name", "n", "total")
        ),
    )
    step(
        "having",
        lambda: list(
            Author.objects.annotate(n=Count("books"))
            .filter(n__gt=1)
            .order_by("name")
            .values("name", "n")
        ),
    )
    step(
        "count of some",
        lambda: list(
            Author.objects.annotate(
                n=Count("books", filter=Q(books__pages__gte=400), distinct=True)
            )
            .order_by("name")
            .values_list("name", "n")
        ),
    )
    step(
        "group by month",
        lambda: list(
            books.annotate(month=TruncMonth("published"))
            .values("month")
            .annotate(n=Count("id"))
            .order_by("month")[:2]
        ),
    )
    step(
        "expressions",
        lambda: list(
            books.annotate(
                shout=Upper("title"),
                size=Length("title"),
                both=Concat("title", Value(" by "), "author__name"),
                year=ExtractYear("published"),
                each=ExpressionWrapper(
                    F("price") * 100 / F("pages"), output_field=models.FloatField()
                ),
                text=Cast("pages", models.CharField()),
                start=Substr(Lower("title"), 1, 3),
                kind=Case(
                    When(pages__lt=300, then=Value("thin")),
                    When(pages__lt=500, then=Value("middling")),
                    default=Value("thick"),
                ),
            )
            .order_by("id")
            .values_list("shout", "size", "both", "year", "text", "start", "kind")[:4]
        ),
    )
    step(
        "subqueries",
        lambda: list(
            Author.objects.annotate(
                latest=Subquery(
                    Book.objects.filter(author=OuterRef("pk"))
                    .order_by("-published")
                    .values("title")[:1]
                ),
                writes=Exists(Book.objects.filter(author=OuterRef("pk"), pages__gt=500)),
            ).values_list("name", "latest", "writes")
        ),
    )
    step(
        "windows",
        lambda: list(
            books.annotate(
                place=Window(Rank(), partition_by=F("author_id"), order_by=F("price").desc()),
                row=Window(RowNumber(), order_by=F("title").asc()),
                so_far=Window(Sum("pages"), order_by=F("title").asc()),
            ).values_list("title", "place", "row", "so_far")
        ),
    )
    step(
        "filter on a window",
        lambda: list(
            books.annotate(
                place=Window(RowNumber(), partition_by=F("author_id"), order_by=F("price").desc())
            ).filter(place=1)
        ),
    )
    step(
        "coalesce and nulls last",
        lambda: list(
            Author.objects.annotate(by=Coalesce("mentor__name", Value("nobody")))
            .order_by(F("born").desc(nulls_last=True))
            .values_list("name", "by")
        ),
    )
    step("now", lambda: books.filter(published__lt=Now()).count())
    step("json key", lambda: list(books.values_list("about__deep__er", flat=True)[:3]))
    step("order by json", lambda: list(books.order_by("-about__shelf")[:2]))
    step(
        "distinct on",
        lambda: list(books.order_by("author__name", "-price").distinct("author__name")),
    )


def changing() -> None:
    books = Book.objects
    step("update", lambda: books.filter(pages__lt=300).update(price=F("price") + 1, is_lent=True))
    step("update by a subquery", lambda: books.filter(author__name="Jane").update(is_lent=True))
    step(
        "update by CASE",
        lambda: books.update(
            pages=Case(
                When(is_lent=True, then=F("pages") + 1),
                default=F("pages"),
                output_field=models.PositiveIntegerField(),
            )
        ),
    )

    def saved() -> Any:
        book = books.get(title="Walden")
        book.about["read"] = True
        book.save(update_fields=["about"])
        book.refresh_from_db()
        return book.about

    step("save update_fields", saved)

    def bulk() -> Any:
        all_of_them = list(books.all())
        for at, book in enumerate(all_of_them):
            book.weight = at / 2
        return books.bulk_update(all_of_them, ["weight"], batch_size=3)

    step("bulk_update", bulk)
    step("after all that", lambda: list(books.values_list("title", "price", "pages", "weight")))

    def atomic() -> Any:
        with transaction.atomic():
            Author.objects.create(name="Ghost")
            try:
                with transaction.atomic():
                    Author.objects.create(name="Jane")
            except IntegrityError as exc:
                said = str(exc).splitlines()[0]
            outer = Author.objects.filter(name="Ghost").exists()
            transaction.set_rollback(True)
        return said, outer, Author.objects.filter(name="Ghost").exists()

    step("savepoints", atomic)

    def locked() -> Any:
        with transaction.atomic():
            book = books.select_for_update().get(title="Emma")
            book.pages += 5
            book.save()
            of = list(
                books.select_for_update(of=("self",)).select_related("author").filter(pages=206)
            )
        return book.pages, of

    step("select_for_update", locked)

    def after() -> Any:
        heard: list[str] = []
        with transaction.atomic():
            transaction.on_commit(lambda: heard.append("committed"))
            heard.append("before")
        return heard

    step("on_commit", after)
    step("check violated", lambda: books.filter(title="Emma").update(price=-1))
    step("unique violated", lambda: books.create(title="Emma", price=1, author=_author("Jane")))
    step("not null violated", lambda: books.create(title="x", price=1, author_id=None))
    step("too long", lambda: Author.objects.create(name="x" * 61))
    step("foreign key violated", lambda: books.create(title="x", price=1, author_id=10**6))

    def lend() -> Any:
        return Loan.objects.create(
            book=books.get(title="Emma"),
            reader=User.objects.get(username="ann"),
            since=day("2024-02-29T08:00:00"),
        ).is_over

    step("lend", lend)
    step("delete, protected", lambda: books.get(title="Emma").delete())
    step("delete one", lambda: books.get(title="Dubliners").delete())
    step("delete with cascade", lambda: _author("Frank").delete())
    step("delete many", lambda: Book.objects.filter(author__name="Mary").delete())
    step("delete a user", lambda: User.objects.get(username="ann").delete())
    step(
        "what is left",
        lambda: (list(books.all()), list(Author.objects.all()), Loan.objects.count()),
    )


def _author(name: str) -> Author:
    return Author.objects.get(name=name)


def built_in() -> None:
    def groups() -> Any:
        group = Group.objects.create(name="readers")
        group.permissions.set(Permission.objects.filter(content_type__app_label="shelf"))
        root = User.objects.get(username="root")
        root.groups.add(group)
        return sorted(root.get_group_permissions())[:3], root.has_perm("shelf.add_book")

    step("groups and permissions", groups)

    def session() -> Any:
        store = SessionStore()
        store["cart"] = [1, "two"]
        store.save()
        again = SessionStore(store.session_key)
        found = again["cart"]
        again.flush()
        return found, SessionStore().exists(store.session_key or "")

    step("sessions", session)

    def admin() -> Any:
        from django.contrib.admin.sites import site
        from django.test import RequestFactory

        LogEntry.objects.create(
            user=User.objects.get(username="root"),
            content_type=ContentType.objects.get_for_model(User),
            object_id="1",
            object_repr="root",
            action_flag=CHANGE,
        )
        request = RequestFactory().get("/", {"q": "oo", "o": "1"})
        request.user = User.objects.get(username="root")
        changes = site.get_model_admin(User).get_changelist_instance(request)
        return changes.result_count, [str(row) for row in changes.queryset]

    step("the admin's list of users", admin)
    step("clearsessions", lambda: command("clearsessions"))
    step("dumpdata", lambda: len("".join(command("dumpdata", "shelf.tag", "shelf.author"))) > 100)


def inspecting() -> None:
    step("inspectdb", lambda: "\n".join(["", *_inspected()]))
    with connection.cursor() as cursor:
        tables = connection.introspection.get_table_list(cursor)
        step("tables", lambda: sorted((table.name, table.type) for table in tables))
        step(
            "constraints",
            lambda: "\n".join(
                [
                    "",
                    *map(str, _constraints(cursor, "shelf_book")),
                    *map(str, _constraints(cursor, "shelf_loan")),
                ]
            ),
        )
        step("sequences", lambda: connection.introspection.get_sequences(cursor, "shelf_book"))
        step(
            "relations",
            lambda: sorted(connection.introspection.get_relations(cursor, "shelf_book").items()),
        )


def _inspected() -> list[str]:
    return command("inspectdb", "shelf_author", "shelf_book", "shelf_loan", "auth_user")


def _constraints(cursor: Any, table: str) -> list[tuple[str, Any]]:
    found = connection.introspection.get_constraints(cursor, table)
    return sorted(
        (name, sorted(of.items(), key=lambda pair: pair[0])) for name, of in found.items()
    )


def going_back() -> None:
    step("migrate shelf 0001", lambda: command("migrate", "shelf", "0001"))
    step("migrate shelf forwards", lambda: command("migrate", "shelf"))
    step("migrate shelf zero", lambda: command("migrate", "shelf", "zero"))
    step("migrate admin zero", lambda: command("migrate", "admin", "zero"))
    step("tables left", lambda: sorted(connection.introspection.table_names()))
    step("migrate all again", lambda: len(command("migrate")))
    step("flush", lambda: command("flush", interactive=False))
    step("users after it", lambda: User.objects.count())


PARTS = (migrating, creating, reading, aggregating, changing, built_in, inspecting, going_back)

if __name__ == "__main__":
    for part in PARTS:
        part()
