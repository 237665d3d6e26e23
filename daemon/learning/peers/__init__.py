"""The forecasts that a user could run instead; measured beside the model by ``forewarn backtest``."""
