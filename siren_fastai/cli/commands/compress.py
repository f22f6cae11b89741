"""`siren-fastai compress`: an image to a small file."""

from pathlib import Path

from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError, as_usage
from siren_fastai.cli.options import Chosen, Command, Option, integer, positive
from siren_fastai.cli.paths import check_output, kept_apart, same_file
from siren_fastai.cli.shared import COLOR, CONFIG, DEVICE, JOBS, OVERWRITE, PRINT_CONFIG, SCHEDULER, SEED, STEPS
from siren_fastai.files import persist, replacing, write_json
from siren_fastai.names import CLUSTER_BASES, CLUSTER_USES, CODEC_WEIGHTS, DENOISERS

__all__ = ["COMMAND"]

OPTIONS = (
    Option("image", "the image to compress, or a folder of images", metavar="IMAGE", positional=True),
    Option(
        "output",
        "the file to write, such as image.sirn; for a folder of images the folder of their files",
        metavar="OUTPUT",
        positional=True,
    ),
    CONFIG,
    OVERWRITE,
    COLOR,
    STEPS,
    SEED,
    Option(
        "weights",
        "how they are stored: quantized, with a step size for each tensor; quantized_rows, with one for each row of a "
        "weight matrix; float16, not quantised, in a smaller network",
        choices=CODEC_WEIGHTS,
        default="quantized",
    ),
    Option("report", "also write what was measured, as JSON", metavar="FILE"),
    DEVICE,
    PRINT_CONFIG,
)
FOLDER = (JOBS, SCHEDULER)
TARGETS = (
    Option("bpp", "bits per pixel of the whole file, at most", positive),
    Option("psnr", "PSNR to reach, in dB over all channels, in as few bytes as possible", positive, metavar="DB"),
    Option("quality", "from 1, the smallest file, to 100, the best", integer(1, 100), metavar="Q"),
    Option("max_bytes", "bytes of the whole file, at most", integer(1), metavar="N"),
)
HELPERS = (
    Option("mean", "train on the image minus its mean colour, which is stored", None),
    Option("denoise", "denoiser after decoding; auto tries all, and may choose none", choices=("auto", *DENOISERS)),
    Option("denoise_strength", "strength of the denoiser, chosen by --denoise auto", positive),
    Option(
        "clusters", "divide the image into K clusters, at most 256, whose map is stored", integer(1, 256), metavar="K"
    ),
    Option(
        "clusters_by",
        "color: cells of similar colour; error: each cell to the network with the smallest error (default: color)",
        choices=CLUSTER_BASES,
    ),
    Option(
        "clusters_use",
        "feature: the cluster is an input of one network; network: each has its own (default: feature)",
        choices=CLUSTER_USES,
    ),
    Option("clusters_cell", "side of the map's cells in pixels (default: 16)", integer(1), metavar="N"),
)


def run(chosen: Chosen) -> int:
    """Compress the image, or each image of a folder. Returns the exit code."""
    options = {**_target(chosen), **_helpers(chosen), "steps": chosen.steps, "seed": chosen.seed}
    options["weights"] = chosen.weights
    if Path(chosen.image).is_dir():
        from siren_fastai.cli.folders import compress_folder

        return compress_folder(chosen, options, _described)
    return _compress(chosen, options)


def _compress(chosen: Chosen, options: dict) -> int:
    """Write the file and, if asked, the report; after Ctrl-C the best so far."""
    from siren_fastai.cli.terminal import EncodeProgress
    from siren_fastai.codec.compress import compress
    from siren_fastai.codec.search import MAX_TRIES
    from siren_fastai.fits.devices import device_of
    from siren_fastai.fits.image import read_image

    with as_usage():
        device = device_of(chosen.device)
        image = read_image(chosen.image, chosen.color, name="IMAGE")
    output, report = _outputs(chosen)
    line = EncodeProgress(tries=1 if chosen.psnr is None else MAX_TRIES)
    try:
        with as_usage(options={"k": "clusters"}):
            made = compress(image, device=device, progress=False, cbs=[line], on_plan=line.plan, **options)
    finally:
        line.clear()
    if made.report["interrupted"]:
        output, report = kept_apart(output), report and kept_apart(report)
    try:
        persist(lambda: _write(made.data, output, made.report, report))
    except KeyboardInterrupt:
        raise CommandError(f"interrupted after the training; {output} is complete", INTERRUPTED) from None
    print(f"{output}: {_described(made.report, len(made.data))}", flush=True)
    _check_finished(made.report, output)
    return 0


def complete(chosen: Chosen) -> Chosen:
    """Let a target of the command line override those of the environment, and these those of the config file."""
    chosen.keep_strongest([option.name for option in TARGETS])
    return chosen


def _outputs(chosen: Chosen) -> tuple[Path, Path | None]:
    """The paths of the file and of the report. Raises: CommandError, OSError as `check_output`."""
    read = (chosen.image, chosen.config_filepath)
    output = check_output(chosen.output, chosen.y, *read)
    if chosen.report is None:
        return output, None
    report = check_output(chosen.report, chosen.y, *read)
    if same_file(output, report):
        raise CommandError(f"OUTPUT and --report are both {report}; name two files")
    return output, report


def _write(data: bytes, output: Path, report: dict, report_path: Path | None) -> None:
    with replacing(output) as temporary:
        temporary.write_bytes(data)
    if report_path:
        write_json(report, report_path)


def _target(chosen: Chosen) -> dict:
    """The one target. Raises: CommandError for none or several."""
    names = [option.name for option in TARGETS]
    given = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    if len(given) != 1:
        named = ", ".join(map(chosen.named, given)) or "none"
        allowed = ", ".join(f"--{name}" for name in names[:-1]) + f" and --{names[-1]}"
        raise CommandError(f"give exactly one of {allowed}, got {named}")
    return given


def _helpers(chosen: Chosen) -> dict:
    """The optional helpers as `compress` takes them. Raises: CommandError for what does not go together."""
    from siren_fastai.codec.clusters import Clusters

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
    if chosen.clusters_by == "error" and chosen.clusters_use != "network":
        raise CommandError("--clusters_by error needs --clusters_use network")


def _described(report: dict, n_bytes: int) -> str:
    from siren_fastai.sirn.reader import Limits

    similarity = "" if report["ssim"] is None else f", SSIM {report['ssim']:.4f}"
    text = (
        f"{n_bytes:,} bytes, {report['bpp']:.4f} bits per pixel, PSNR {report['psnr']:.2f} dB{similarity}, "
        f"{report['steps']} steps in {report['seconds']:.1f} s"
    )
    if "psnr_before_denoising" in report:
        method, strength = report["denoise"] or ("no denoiser helps", None)
        named = method if strength is None else f"denoised by {method}, strength {strength:g}"
        text += f"; {named}: {report['psnr_before_denoising']:.2f} dB without"
    seconds = report["decoding_seconds"]
    accepted = seconds <= Limits().work / 1e9  # by decompress without being asked
    return text if accepted else f"{text}; decompress it with --max_seconds {seconds + 0.05:.1f}"


def _check_finished(report: dict, output: Path) -> None:
    """Raises: CommandError for a file that is written, but not what was asked for."""
    if report["interrupted"]:
        raise CommandError(f"interrupted; the best so far is written to {output}; no file was overwritten", INTERRUPTED)
    if not report.get("reached", True):
        raise CommandError(
            f"--psnr {report['target_psnr']:g} was not reached; the best, of {report['psnr']:.2f} dB, is written to "
            f"{output}. More --steps may help",
            FAILURE,
        )


COMMAND = Command(
    name="compress",
    summary="write an image as a small file",
    about="Compress an image: a network is fitted to it, quantised, and written as one small file. Ctrl-C stops and "
    "writes the best file so far, next to a file that exists. Of a folder, each image becomes a file of its own, in "
    "several processes; images whose file exists are left out, so that the same command goes on after an "
    "interruption; a file whose size, widths, weights, mean colour, clusters or denoiser show that it was made with "
    "other options is an error.",
    usage="IMAGE OUTPUT (--bpp BPP | --psnr DB | --quality Q | --max_bytes N) [options]",
    groups={
        "options": OPTIONS,
        "target, exactly one": TARGETS,
        "helpers, off unless given": HELPERS,
        "for a folder of images": FOLDER,
    },
    run=run,
    complete=complete,
    on_interrupt="finishing with the best result so far; press again to stop",
)
