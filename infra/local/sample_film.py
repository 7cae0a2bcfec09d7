"""The film that is there from the first start: drawn and scored by ffmpeg alone."""

import subprocess
from pathlib import Path

import imageio_ffmpeg

_SECONDS = 24
_SIZE = "640x360"
_PICTURE = (
    f"gradients=s={_SIZE}:r=24:d={_SECONDS}:n=5:type=radial:speed=0.012:seed=7"
    ":c0=0x1b2a6b:c1=0xc2417c:c2=0xf2a65a:c3=0x2a9d8f:c4=0x0b132b,format=gbrp[light];"
    "life=s=160x90:r=12:mold=20:ratio=0.14:seed=11"
    ":life_color=0xffffff:death_color=0x5a7bd8:mold_color=0x000000,"
    "gblur=sigma=0.8,fps=24,scale=640:360:flags=bilinear,format=gbrp[life];"
    "[light][life]blend=all_mode=screen:all_opacity=0.5,format=yuv420p,"
    f"fade=in:st=0:d=1,fade=out:st={_SECONDS - 1}:d=1[picture]"
)
# A, C sharp, E and the A above, breathing.
_SOUND = (
    "aevalsrc='0.1*(0.75+0.25*sin(2*PI*0.25*t))*(sin(2*PI*220*t)+0.8*sin(2*PI*277.18*t)"
    f"+0.7*sin(2*PI*329.63*t)+0.35*sin(2*PI*440*t+2*sin(2*PI*0.2*t)))':s=44100:d={_SECONDS},"
    f"afade=in:d=1,afade=out:st={_SECONDS - 1}:d=1[sound]"
)


def make_sample_film(path: Path) -> None:
    """Write a film of 24 seconds (H.264 and AAC, 640x360, below 1 MB) to `path`, if nothing is there yet.

    Raises:
        subprocess.SubprocessError: ffmpeg failed or took longer than a minute.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{path.name}")
    subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"),
            *("-filter_complex", f"{_PICTURE};{_SOUND}", "-map", "[picture]", "-map", "[sound]"),
            *("-t", str(_SECONDS), "-c:v", "libx264", "-preset", "veryfast", "-crf", "28", "-g", "48"),
            *("-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart", "-f", "mp4", str(unfinished)),
        ],
        check=True,
        timeout=60,
    )
    unfinished.replace(path)
