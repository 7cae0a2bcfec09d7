"""One uploaded file made into HLS, thumbnails and a storyboard by ffmpeg."""

import asyncio
import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import imageio_ffmpeg

#: Names of what a finished folder holds, besides the segments.
MULTIVARIANT, RENDITION, INIT = "index.m3u8", "rendition.m3u8", "init.mp4"
SEGMENT = re.compile(r"\d{5}\.m4s")
_ABOUT = "media.json"

_SECONDS_ALLOWED = 1800
_MOST_PIXELS = 8192 * 4320
_SEGMENT_SECONDS = 5
_TILE_WIDTH, _TILE_HEIGHT, _MOST_TILES = 256, 160, 50
TILE_COLUMNS = 5
# An upload is a stranger's file: only containers that hold their media themselves, none (HLS, concat, …) that
# would make ffmpeg open other files or addresses.
_CONTAINERS = "mov,matroska,mpegts,mpeg,avi,flv,ogg,asf,mxf,gxf,wtv,nut,3gp,h264,hevc"
# Below everything else, and (where Linux has the tool) not outliving us when we are killed the hard way.
_RUN = (
    *(("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()),
    *("nice", "-n", "10", imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", "-y"),
)


class UnusableInputError(Exception):
    """The file is not a video ffmpeg can read; the message says why."""


@dataclass(frozen=True)
class Media:
    """What came out: seconds, pixels of the stored rendition, and how the storyboard is cut."""

    duration: float
    width: int
    height: int
    frame_rate: float
    has_audio: bool
    tiles: int
    tile_width: int
    tile_height: int

    @property
    def aspect_ratio(self) -> str:
        """Such as `16:9`; what is only rounded to even pixels counts as the common ratio it is nearest to."""
        for ratio in ((16, 9), (4, 3), (9, 16), (3, 4), (1, 1), (21, 9)):
            if abs(self.width * ratio[1] / ratio[0] - self.height) < 2:
                return f"{ratio[0]}:{ratio[1]}"
        common = math.gcd(self.width, self.height)
        return f"{self.width // common}:{self.height // common}"

    @classmethod
    def read(cls, folder: Path) -> "Media":
        """What `transcode` noted in the folder."""
        return cls(**json.loads((folder / _ABOUT).read_text()))


async def transcode(source: Path, folder: Path) -> Media:
    """Fill `folder` with the HLS, the images and a note of what they are.

    Args:
        source: The uploaded file.
        folder: An empty folder.

    Raises:
        UnusableInputError: The file cannot be read as a video, or takes too long.
    """
    frame_rate, has_audio = await _probe(source, folder)
    await _make_hls(source, folder)
    duration, width, height = _measured(folder)
    media = Media(
        duration=duration,
        width=width,
        height=height,
        frame_rate=frame_rate,
        has_audio=has_audio,
        tiles=min(_MOST_TILES, max(1, int(duration))),
        tile_width=_even(min(_TILE_WIDTH, _TILE_HEIGHT * width / height)),
        tile_height=_even(min(_TILE_HEIGHT, _TILE_WIDTH * height / width)),
    )
    await _make_images(folder, media)
    (folder / _ABOUT).write_text(json.dumps(asdict(media)))
    return media


async def _probe(source: Path, folder: Path) -> tuple[float, bool]:
    """Frame rate, and whether there is sound, from ffmpeg's own account: the wheel has no ffprobe."""
    _, account = await _ffmpeg(_input(source), folder)
    videos = [
        line
        for line in account.splitlines()
        if re.search(r"Stream #0.*: Video: ", line) and "(attached pic)" not in line
    ]
    size = re.search(r", (\d+)x(\d+)", videos[0]) if videos else None
    if size is None:
        raise UnusableInputError("The input file does not contain a video that can be read.")
    if int(size[1]) * int(size[2]) > _MOST_PIXELS:
        raise UnusableInputError(f"The input video is too large: {size[1]}x{size[2]}.")
    rate = re.search(r"([\d.]+) fps", videos[0])
    return float(rate[1]) if rate else -1, re.search(r"Stream #0.*: Audio: ", account) is not None


async def _make_hls(source: Path, folder: Path) -> None:
    video = (
        # Square pixels first, then at most 720p, never enlarged.
        "scale='trunc(iw*sar/2)*2':'trunc(ih/2)*2',setsar=1,"
        "scale='min(1280,iw)':'min(720,ih)':force_original_aspect_ratio=decrease:force_divisible_by=2,"
        "format=yuv420p"
    )
    code, account = await _ffmpeg(
        [
            *_input(source),
            *("-map", "0:V:0", "-map", "0:a:0?", "-map_metadata", "-1", "-vf", video),
            *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "27"),
            *("-force_key_frames", f"expr:gte(t,n_forced*{_SEGMENT_SECONDS})"),
            *("-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"),
            *("-f", "hls", "-hls_playlist_type", "vod", "-hls_time", str(_SEGMENT_SECONDS)),
            *("-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", INIT),
            *("-hls_flags", "independent_segments", "-hls_segment_filename", "%05d.m4s"),
            *("-master_pl_name", MULTIVARIANT, RENDITION),
        ],
        folder,
    )
    if code != 0 or not (folder / MULTIVARIANT).exists():
        raise UnusableInputError(f"The input file could not be decoded: {_last_line(account)}")


async def _make_images(folder: Path, media: Media) -> None:
    rows = -(-media.tiles // TILE_COLUMNS)
    storyboard = (
        f"fps={media.tiles}/{media.duration}:round=up,scale={media.tile_width}:{media.tile_height},"
        f"tile={TILE_COLUMNS}x{rows}"
    )
    # The picture in the middle, as Mux takes; a film of one frame has none there.
    for moment in (media.duration / 2, 0):
        thumbnail = f"select='gte(t,{moment})',scale='min(640,iw)':-2"
        arguments = ["-i", RENDITION]
        for name, chain in (("thumbnail", thumbnail), ("storyboard", storyboard)):
            for extension in ("jpg", "png", "webp"):
                arguments += ["-map", "0:v:0", "-vf", chain, "-frames:v", "1", "-update", "1"]
                arguments += ["-q:v", "75" if extension == "webp" else "4", f"{name}.{extension}"]
        code, account = await _ffmpeg(arguments, folder)
        if code == 0 and all((folder / f"{name}.jpg").exists() for name in ("thumbnail", "storyboard")):
            return
    raise UnusableInputError(f"No picture could be taken of the input file: {_last_line(account)}")


def _measured(folder: Path) -> tuple[float, int, int]:
    """Seconds, width and height of the HLS in the folder."""
    seconds = sum(map(float, re.findall(r"#EXTINF:([\d.]+)", (folder / RENDITION).read_text())))
    size = re.search(r"RESOLUTION=(\d+)x(\d+)", (folder / MULTIVARIANT).read_text())
    if size is None or seconds <= 0:
        raise UnusableInputError("The input file has no duration.")
    return round(seconds, 6), int(size[1]), int(size[2])


def _input(source: Path) -> list[str]:
    return ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-i", str(source.resolve())]


async def _ffmpeg(arguments: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run ffmpeg inside `folder`; returns its exit code and the end of what it said.

    Raises:
        UnusableInputError: It took too long. It never outlives this call.
    """
    said = folder / "ffmpeg.log"
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_RUN,
            *arguments,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            # A Ctrl-C is for us alone: ffmpeg would end early and look as if the file were broken.
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(_SECONDS_ALLOWED):
            code = await process.wait()
    except TimeoutError as error:
        raise UnusableInputError(f"The input file took more than {_SECONDS_ALLOWED} seconds.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = _end_of(said)
    said.unlink()
    return code, text


def _end_of(file: Path, most: int = 65536) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - most))
        return stream.read().decode(errors="replace")


def _last_line(account: str) -> str:
    return account.strip().rsplit("\n", 1)[-1][:300]


def _even(value: float) -> int:
    return max(2, int(value) // 2 * 2)
