//! Whether an endpoint is fit for requests: active probes and outlier detection.
