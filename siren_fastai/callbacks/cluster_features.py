"""K-means clusters of the picture as further inputs of the network."""

from fastai.callback.core import Callback, TrainEvalCallback

from siren_fastai.clusters import kmeans_labels, label_features
from siren_fastai.models.features import add_features_

__all__ = ["ClusterFeatures"]


class ClusterFeatures(Callback):
    """Let the network read the k-means cluster of each pixel along with its position.

    Acts once, when `Learner(cbs=...)` is made: it clusters the image of `dls.train`, widens the network's first layer
    and wraps the network in `FeatureInput`, so that `render`, `export` and `get_preds` still take positions alone. k=1
    leaves the network as it is. In another learner, `learn.model` of the first keeps the clusters that it has.
    The clusters see the target: this is for memorising and compressing a signal, where the label map must be counted as
    part of the code (`pack_labels(learn.cluster_features.labels, k)`).
    Raises: ValueError for fewer distinct colours than clusters, a network that was widened before, or if added after
    creation.
    """

    order = TrainEvalCallback.order - 3  # the network's shape comes before its initialisation

    def __init__(
        self,
        k: int = 4,  # number of clusters
        by: str = "color",  # or "color+position", as for `kmeans_labels`
        use: str = "feature",  # "feature": k inputs, one-hot; "scalar": one input
        position_weight: float = 1.0,  # as for `kmeans_labels`
        seed: int = 0,  # of k-means
    ):
        self.k, self.by, self.use, self.position_weight, self.seed = k, by, use, position_weight, seed
        self.labels = None

    def after_create(self):
        data = self.dls.train_ds
        if getattr(data, "shape", None) is None or len(data.shape) != 2 or not data.grid or data.pixels is not None:
            raise ValueError("`ClusterFeatures` needs a whole image: 2-D PixelDataLoaders on a grid with valid='all'")
        picture = data.to_picture(data.values).cpu()
        self.labels = kmeans_labels(picture, self.k, self.by, self.position_weight, self.seed)
        if self.k > 1:
            features = label_features(self.labels, self.k, self.use)
            self.learn.model = add_features_(self.model, features.view(*data.shape, -1))

    def before_fit(self):
        if self.labels is None:
            raise ValueError("`ClusterFeatures` changes the network: give it to Learner(cbs=...), not to fit or add_cb")
