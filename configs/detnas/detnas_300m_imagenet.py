# Step 4: the found backbone, here the published one for Faster R-CNN, learns ImageNet from scratch by the supernet's
# recipe. Put the value of your own best/genotype.json in place of the zoo's name.
_base_ = ['../_base_/classification/imagenet.py', '../_base_/classification/detnas_runtime.py']
model = dict(
    type='ImageClassifier',
    backbone=dict(type='DetNASNet', genotype='detnas_coco_fpn_300m', head=True, num_classes=1000, dropout=0.2),
    label_smoothing=0.1,
    data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], rgb_to_bgr=True))
