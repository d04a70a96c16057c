"""Products of radar satellites are read as their makers describe them: unit, calibration, noise, looks, grain and place."""
