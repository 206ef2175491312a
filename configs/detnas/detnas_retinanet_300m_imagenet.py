# Step 4 for the published backbone that was searched for RetinaNet.
_base_ = ['detnas_300m_imagenet.py']
model = dict(backbone=dict(genotype='detnas_coco_retinanet_300m'))
