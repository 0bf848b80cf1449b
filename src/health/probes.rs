//! The tasks that check all endpoints, each at its own pace.
