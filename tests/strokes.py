"""How good few strokes are: strokes simulated from the truth on frame 0, beside a full true still.

    python tests/strokes.py CLIPS [--clips 6] [--film]

CLIPS is a folder of clips (DAVIS layout). For 5, 20 and 50 points the script places a round stroke at the most central
pixel of each of so many clusters of the true frame in (L, a, b, x, y), in the true colour there (the mean over the
stroke), spreads it with `ca_data.spread_color`, and prints PSNR of frame 0.
"""
