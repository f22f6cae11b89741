"""Summaries of a rate-distortion sweep: means over images, bits at equal PSNR, the figure.

A mean over images is the mean of their own PSNRs at one setting, against the mean of their bits per pixel.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

__all__ = ["COLUMNS", "OURS", "bits_at_psnr", "rd_figure", "savings", "summary"]

OURS = "siren"
COLUMNS = ("picture", "codec", "setting", "bytes", "bpp", "psnr", "ssim", "encode_s", "decode_s")
MEANS = list(COLUMNS[3:])
COLORS = {OURS: "tab:red", "jpeg": "tab:blue", "webp": "tab:green", "avif": "tab:purple"}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the images at each codec and setting of a table of `points`, and how many `pictures` they are.

    In the order of the table's codecs, by rising setting. A row has fewer images if the sweep was
    interrupted, or if some image is too small for the rate: means of different images can't be compared.
    """
    grouped = table.groupby(["codec", "setting"], sort=False)
    means = grouped[MEANS].mean()
    means.insert(0, "pictures", grouped["picture"].nunique())
    order = {codec: place for place, codec in enumerate(table["codec"].unique())}
    means = means.reset_index()
    return means.sort_values(["codec", "setting"], key=lambda c: c.map(order) if c.name == "codec" else c).reset_index(
        drop=True
    )


def _whole(means: pd.DataFrame) -> pd.DataFrame:
    """The rows of a summary that are means over all images."""
    return means[means["pictures"] == means["pictures"].max()]


def bits_at_psnr(means: pd.DataFrame, codec: str, level: float) -> float:
    """The bits per pixel at which `codec` has a mean PSNR of `level` dB; NaN where its points do not reach.

    `means` is a `summary`; between its points the logarithm of the rate is linear in the PSNR.
    """
    curve = _whole(means)
    curve = curve[(curve["codec"] == codec) & np.isfinite(curve["psnr"])].sort_values("psnr")
    if curve.empty:
        return float("nan")
    log_bpp = np.interp(level, curve["psnr"], np.log(curve["bpp"]), left=np.nan, right=np.nan)
    return float(np.exp(log_bpp))


def savings(means: pd.DataFrame) -> pd.DataFrame:
    """Our mean points against the classics at equal PSNR: for each, its bits per pixel, and our bits less theirs in %.

    Negative is fewer bits than the classic; NaN where its points do not reach our PSNR. `means` is a `summary`.
    """
    whole = _whole(means)
    ours = whole[whole["codec"] == OURS][["bpp", "psnr"]].reset_index(drop=True)
    for codec in [name for name in means["codec"].unique() if name != OURS]:
        ours[f"{codec}_bpp"] = [bits_at_psnr(means, codec, level) for level in ours["psnr"]]
        ours[f"{codec}_%"] = 100 * (ours["bpp"] / ours[f"{codec}_bpp"] - 1)
    return ours


def rd_figure(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Mean PSNR over mean bits per pixel (logarithmic), a curve for each codec; thin lines are single images."""
    figure = Figure(figsize=(7.5, 5.2), layout="constrained")
    axes, means = figure.subplots(), _whole(summary(table))
    axes.set_xscale("log")
    for codec, rows in table.groupby("codec", sort=False):
        color = COLORS.get(codec)
        for _, picture in rows.groupby("picture", sort=False):
            picture = picture.sort_values("bpp")
            axes.plot(picture["bpp"], picture["psnr"], color=color, linewidth=0.6, alpha=0.3)
        curve = means[means["codec"] == codec].sort_values("bpp")
        axes.plot(curve["bpp"], curve["psnr"], "o-", color=color, markersize=4, label=codec)
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    count = table["picture"].nunique()
    axes.set(xlabel="bits per pixel, whole files", ylabel="PSNR over all channels (dB)")
    axes.set_title(title or f"Mean over {count} picture{'s' * (count != 1)}; thin: each")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure
