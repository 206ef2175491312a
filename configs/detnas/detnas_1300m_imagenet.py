# Step 4 for the 1.3G space.
_base_ = ['detnas_300m_imagenet.py']
model = dict(backbone=dict(genotype='detnas_coco_fpn_1.3g'))
