"""Make the images of this folder from scikit-image's: `python data/make_pictures.py`."""

from pathlib import Path

from skimage import data

from siren_fastai.images import load_image, save_image

HERE = Path(__file__).parent


def main() -> None:
    chelsea = data.chelsea()
    height, width = chelsea.shape[:2]
    left = (width - height) // 2
    pictures = {
        "cat.png": (chelsea[:, left : left + height], 224),
        "astronaut.png": (data.astronaut(), 224),
        "camera.png": (data.camera(), 256),
    }
    for name, (picture, size) in pictures.items():
        save_image(load_image(picture, size=size), HERE / name, optimize=True)
        print(f"{name}: {size}x{size}, {(HERE / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
