"""Settings in a dict, as some courses hand them to their functions."""

from typing import Any

from torchref.oracle.subjects.names import assign

ABSENT = object()


class Settings(dict[str, Any]):
    """The settings under any of their usual names, as cs231n has them: `pool_param["pool_height"]`.

    Attributes
    ----------
    read:
        Which of them were asked for.
    """

    def __init__(self, settings: Any = ()) -> None:
        super().__init__(settings)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        name = key if super().__contains__(key) else assign([key], list(self), {}).get(key, key)
        self.read.add(name)
        return super().__getitem__(name)

    def __contains__(self, key: object) -> bool:
        return self.get(str(key), ABSENT) is not ABSENT

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The setting of that name; the default, which is kept, if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The setting of that name, or the default."""
        try:
            return self[key]
        except KeyError:
            return default


def half(value: Any, place: int) -> Any:
    """The height's or the width's number of a setting."""
    return value[place] if isinstance(value, tuple) else value
