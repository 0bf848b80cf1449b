//! THE DATA PLANE: carries requests on worker threads of its own. Never imports control, config, rollout or provider.
