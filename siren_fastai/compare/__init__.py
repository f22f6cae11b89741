"""Our files compared with JPEG, WebP and AVIF: single files, sweeps over rates, tables and figures."""
