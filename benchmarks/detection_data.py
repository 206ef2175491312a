"""The data of the benchmarks on detectors: the built-in digits, or COCO files of one's own."""

import argparse


def add_detection_data(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the data to what a benchmark takes."""
    parser.add_argument('--data', default='digits', help='digits, or a name for the COCO files that the others give')
    parser.add_argument('--ann', help='annotations to search and train with')
    parser.add_argument('--images', help='folder of their pictures')
    parser.add_argument('--test-ann', help='annotations of the test split')
    parser.add_argument('--test-images', help='folder of its pictures; default: that of --images')


def coco_files(args: argparse.Namespace) -> dict[str, str]:
    """Return the files of a command on data of one's own, as ``search.data`` of ``type='coco'`` names them.

    Args:
        args: Of a command with :func:`add_detection_data`.
    """
    if not (args.ann and args.images and args.test_ann):
        raise SystemExit(f'--data {args.data} needs --ann, --images and --test-ann')
    return dict(ann_file=args.ann, image_dir=args.images, test_ann_file=args.test_ann,
                test_image_dir=args.test_images or args.images)
