"""BibTeX of the papers behind the solvers; a solver names its key in `reference`."""

CITATIONS = {
    "ddnm": """@inproceedings{wang2023ddnm,
  title={Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model},
  author={Wang, Yinhuai and Yu, Jiwen and Zhang, Jian},
  booktitle={International Conference on Learning Representations},
  year={2023}
}""",
    "ddrm": """@inproceedings{kawar2022ddrm,
  title={Denoising Diffusion Restoration Models},
  author={Kawar, Bahjat and Elad, Michael and Ermon, Stefano and Song, Jiaming},
  booktitle={Advances in Neural Information Processing Systems},
  year={2022}
}""",
    "diffpir": """@inproceedings{zhu2023diffpir,
  title={Denoising Diffusion Models for Plug-and-Play Image Restoration},
  author={Zhu, Yuanzhi and Zhang, Kai and Liang, Jingyun and Cao, Jiezhang and Wen, Bihan and Timofte, Radu and Van Gool, Luc},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition Workshops (NTIRE)},
  year={2023}
}""",
    "dpir": """@article{zhang2021dpir,
  title={Plug-and-Play Image Restoration with Deep Denoiser Prior},
  author={Zhang, Kai and Li, Yawei and Zuo, Wangmeng and Zhang, Lei and Van Gool, Luc and Timofte, Radu},
  journal={IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year={2021}
}""",
    "dps": """@inproceedings{chung2023dps,
  title={Diffusion Posterior Sampling for General Noisy Inverse Problems},
  author={Chung, Hyungjin and Kim, Jeongsol and McCann, Michael T. and Klasky, Marc L. and Ye, Jong Chul},
  booktitle={International Conference on Learning Representations},
  year={2023}
}""",
}
