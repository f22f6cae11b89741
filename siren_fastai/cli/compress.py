"""`siren-fastai compress`: a picture to a small file."""

from pathlib import Path

from siren_fastai.cli.coded import check_output
from siren_fastai.cli.devices import device_of
from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError, as_usage
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.outputs import save_json
from siren_fastai.cli.pictures import read_picture
from siren_fastai.cli.progress import ProgressLine
from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.compress import Compressed, compress
from siren_fastai.files import replacing

__all__ = ["run"]

TARGETS = ("bpp", "psnr", "quality")


def run(chosen: Chosen) -> int:
    """Write the file, and as the options ask the report; after Ctrl-C the best so far."""
    options = {**_target(chosen), **_helpers(chosen), "steps": chosen.steps, "seed": chosen.seed}
    device = device_of(chosen.device)
    image = read_picture(chosen.picture, chosen.color, option="PICTURE")
    output = check_output(chosen.output, chosen.y, chosen.picture)
    report = chosen.report and check_output(chosen.report, chosen.y, chosen.picture, chosen.output)
    line = ProgressLine()
    try:
        with as_usage():
            made = compress(image, device=device, progress=False, cbs=[line], **options)
    finally:
        line.clear()
    with replacing(output) as temporary:
        temporary.write_bytes(made.data)
    if report:
        save_json(made.report, report)
    print(f"{output}: {_told(made)}", flush=True)
    _check_finished(made.report, output)
    return 0


def _check_finished(report: dict, output: Path) -> None:
    """Raises: CommandError for a file that is written, but not what was asked for."""
    if report["interrupted"]:
        raise CommandError(f"interrupted; the best so far is written to {output}", INTERRUPTED)
    if not report.get("reached", True):
        raise CommandError(
            f"--psnr {report['target_psnr']:g} was not reached; the best, of {report['psnr']:.2f} dB, is written to "
            f"{output}. More --steps may help",
            FAILURE,
        )


def _target(chosen: Chosen) -> dict:
    """The one target. Raises: CommandError for none or several."""
    given = {name: getattr(chosen, name) for name in TARGETS if getattr(chosen, name) is not None}
    if len(given) != 1:
        named = ", ".join(f"--{name}" for name in given) or "none"
        raise CommandError(f"give exactly one of --bpp, --psnr and --quality, got {named}")
    return given


def _helpers(chosen: Chosen) -> dict:
    """The optional helpers as `compress` takes them. Raises: CommandError for what does not go together."""
    _check_together(chosen)
    helpers = {"mean": chosen.mean, "denoise": chosen.denoise, "clusters": None}
    if chosen.denoise_strength is not None:
        helpers["denoise"] = (chosen.denoise, chosen.denoise_strength)
    if chosen.clusters is not None:
        details = {name: getattr(chosen, f"clusters_{name}") for name in ("by", "use", "cell")}
        with as_usage():
            helpers["clusters"] = Clusters(chosen.clusters, **{k: v for k, v in details.items() if v is not None})
    return helpers


def _check_together(chosen: Chosen) -> None:
    with_strength = chosen.denoise_strength is not None
    if chosen.denoise in (None, "auto") and with_strength:
        raise CommandError("--denoise_strength needs --denoise median, bilateral, tv or nlm")
    if chosen.denoise not in (None, "auto") and not with_strength:
        raise CommandError(f"--denoise {chosen.denoise} needs --denoise_strength; --denoise auto chooses both")
    for name in ("clusters_by", "clusters_use", "clusters_cell"):
        if getattr(chosen, name) is not None and chosen.clusters is None:
            raise CommandError(f"--{name} needs --clusters")


def _told(made: Compressed) -> str:
    report = made.report
    similarity = "" if report["ssim"] is None else f", SSIM {report['ssim']:.4f}"
    told = (
        f"{len(made.data):,} bytes, {report['bpp']:.4f} bits per pixel, PSNR {report['psnr']:.2f} dB{similarity}, "
        f"{report['steps']} steps in {report['seconds']:.1f} s"
    )
    if "psnr_before_denoising" in report:
        method, strength = report["denoise"] or ("no denoiser helps", None)
        named = method if strength is None else f"denoised by {method}, strength {strength:g}"
        told += f"; {named}: {report['psnr_before_denoising']:.2f} dB without"
    return told
