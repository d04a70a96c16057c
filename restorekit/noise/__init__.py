"""This room measures how noisy a picture is, in the picture itself: which pixels tell, impulses, level and
correlation."""
