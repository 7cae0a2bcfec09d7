"""Captions of a film in its HLS: what players offer to choose from."""

from collections.abc import Iterable
from dataclasses import dataclass

from infra.local.sandbox.media.transcode import Media

_GROUP = "captions"


@dataclass(frozen=True)
class Captions:
    """A track, and where its playlist is."""

    language: str
    name: str
    url: str


def offered(multivariant: str, tracks: Iterable[Captions]) -> str:
    """The multivariant playlist with the tracks beside each picture."""
    media = [
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="{_GROUP}",NAME="{_quoted(each.name)}",'
        f'LANGUAGE="{_quoted(each.language)}",AUTOSELECT=YES,DEFAULT=NO,FORCED=NO,URI="{each.url}"'
        for each in tracks
    ]
    if not media:
        return multivariant
    lines: list[str] = []
    for line in multivariant.splitlines():
        if line.startswith("#EXT-X-STREAM-INF:"):
            lines += [*media, f'{line},SUBTITLES="{_GROUP}"']
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def playlist(media: Media, url: str) -> str:
    """A track's own playlist: the whole of it in one piece."""
    return (
        f"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{int(media.duration) + 1}\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:{media.duration:.6f},\n{url}\n#EXT-X-ENDLIST\n"
    )


def _quoted(text: str) -> str:
    """Such a text has no way to hold these."""
    return "".join(" " if letter in '"\r\n' else letter for letter in text)
