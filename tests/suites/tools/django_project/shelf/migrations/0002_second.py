"""What became of the first: renamed, altered, added, constrained."""

from django.db import migrations, models
from django.db.models import Q


def fill(apps, schema_editor):
    tag = apps.get_model("shelf", "Tag")
    tag.objects.get_or_create(word="first")


def empty(apps, schema_editor):
    apps.get_model("shelf", "Tag").objects.filter(word="first").delete()


class Migration(migrations.Migration):
    dependencies = [("shelf", "0001_first")]

    operations = [
        migrations.RenameField("book", "sheets", "pages"),
        migrations.RenameField("loan", "returned", "is_over"),
        migrations.AlterField("author", "name", models.CharField(max_length=60, unique=True)),
        migrations.AlterField("author", "born", models.DateField(null=True, blank=True)),
        migrations.AlterField("book", "pages", models.PositiveIntegerField(default=0)),
        migrations.AlterField("book", "price", models.DecimalField(max_digits=8, decimal_places=2)),
        migrations.AlterField("book", "title", models.CharField(max_length=120, db_index=True)),
        migrations.AddField("book", "length", models.DurationField(null=True)),
        migrations.AddField("book", "weight", models.FloatField(null=True)),
        migrations.AlterModelOptions("book", {"ordering": ("title",)}),
        migrations.AddConstraint(
            "book",
            models.UniqueConstraint(fields=("author", "title"), name="once_per_author"),
        ),
        migrations.AddIndex(
            "book",
            models.Index(fields=["-published"], condition=Q(is_lent=True), name="lent_by_time"),
        ),
        migrations.RunPython(fill, empty),
    ]
