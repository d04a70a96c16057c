"""How noisy a picture is, measured in the picture itself: which pixels tell, impulses, level and correlation."""
