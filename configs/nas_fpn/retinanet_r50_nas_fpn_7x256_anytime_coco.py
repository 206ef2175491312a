# The same with heads on every stack in training, so that at test time the network may be left after any of them:
# nasdet test CONFIG CHECKPOINT --cfg-options model.neck.exit_stack=3
_base_ = ['retinanet_r50_nas_fpn_7x256_coco.py']
model = dict(type='DeeplySupervisedSingleStage')
