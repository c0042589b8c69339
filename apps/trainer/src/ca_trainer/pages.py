"""HTML pages: Jinja templates of the folder `templates/`, with all text put into them escaped."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_TEMPLATES = Environment(loader=PackageLoader("ca_trainer"), autoescape=True, undefined=StrictUndefined)


def render_page(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: name of a file in `templates/`.
        **values: the variables it names, all of them; text is escaped but where the template says `|safe`.

    Returns:
        The page.
    """
    return _TEMPLATES.get_template(template).render(**values)
