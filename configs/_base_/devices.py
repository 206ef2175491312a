# Devices for the target 'latency' of MorphNet: floating point operations and bytes a second. The table of the authors'
# library; add your own device here.
devices = dict(
    K80=dict(peak=8.74e12, bandwidth=480e9),
    P4=dict(peak=5.5e12, bandwidth=192e9),
    T4=dict(peak=8.1e12, bandwidth=300e9),
    P100=dict(peak=9.3e12, bandwidth=732e9),
    V100=dict(peak=125e12, bandwidth=900e9),
    TPUv2=dict(peak=22.5e12, bandwidth=300e9))
