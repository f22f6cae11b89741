"""Signed distances from points with normals: data, the paper's loss, a Learner, meshes, and shapes made by formula."""
