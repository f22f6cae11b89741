"""Many calls of one function, in processes or on a Dask cluster."""
