"""Authors, books, readers and what they borrowed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower


class Author(models.Model):
    name = models.CharField(max_length=60, unique=True)
    born = models.DateField(null=True, blank=True)
    mentor = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="pupils")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    word = models.SlugField(primary_key=True, max_length=20)


class Book(models.Model):
    title = models.CharField(max_length=120, db_index=True)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    pages = models.PositiveIntegerField(default=0)
    is_lent = models.BooleanField(default=False)
    published = models.DateTimeField(null=True)
    code = models.UUIDField(null=True, unique=True)
    about = models.JSONField(default=dict)
    cover = models.BinaryField(null=True)
    length = models.DurationField(null=True)
    weight = models.FloatField(null=True)
    tags = models.ManyToManyField(Tag, related_name="books")

    class Meta:
        ordering = ("title",)
        constraints = (
            models.CheckConstraint(condition=Q(price__gte=0), name="price_is_not_negative"),
            models.UniqueConstraint(fields=("author", "title"), name="once_per_author"),
        )
        indexes = (
            models.Index(Lower("title"), name="by_lower_title"),
            models.Index(fields=("-published",), condition=Q(is_lent=True), name="lent_by_time"),
        )

    def __str__(self) -> str:
        return self.title


class Loan(models.Model):
    book = models.ForeignKey(Book, on_delete=models.PROTECT)
    reader = models.ForeignKey("auth.User", on_delete=models.CASCADE)
    since = models.DateTimeField()
    is_over = models.BooleanField(default=False)
