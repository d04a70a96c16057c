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
    "mcg": """@inproceedings{chung2022mcg,
  title={Improving Diffusion Models for Inverse Problems using Manifold Constraints},
  author={Chung, Hyungjin and Sim, Byeongsu and Ryu, Dohoon and Ye, Jong Chul},
  booktitle={Advances in Neural Information Processing Systems},
  year={2022}
}""",
    "vds": """@inproceedings{mardani2024reddiff,
  title={A Variational Perspective on Solving Inverse Problems with Diffusion Models},
  author={Mardani, Morteza and Song, Jiaming and Kautz, Jan and Vahdat, Arash},
  booktitle={International Conference on Learning Representations},
  year={2024}
}""",
    "pigdm": """@inproceedings{song2023pigdm,
  title={Pseudoinverse-Guided Diffusion Models for Inverse Problems},
  author={Song, Jiaming and Vahdat, Arash and Mardani, Morteza and Kautz, Jan},
  booktitle={International Conference on Learning Representations},
  year={2023}
}""",
    "mmps": """@inproceedings{rozet2024mmps,
  title={Learning Diffusion Priors from Observations by Expectation Maximization},
  author={Rozet, Fran{\\c{c}}ois and Andry, G{\\'e}r{\\^o}me and Lanusse, Fran{\\c{c}}ois and Louppe, Gilles},
  booktitle={Advances in Neural Information Processing Systems},
  year={2024}
}""",
    "sardps": """@article{wang2025sardps,
  title={Diffusion Posterior Sampling for SAR Despeckling},
  author={Wang, Z. L. and Han, J. L. and Zhang, C. L.},
  journal={IEEE Transactions on Geoscience and Remote Sensing},
  volume={63},
  year={2025}
}""",
    "daps": """@inproceedings{zhang2025daps,
  title={Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing},
  author={Zhang, Bingliang and Chu, Wenda and Berner, Julius and Meng, Chenlin and Anandkumar, Anima and Song, Yang},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year={2025}
}""",
    "pnpdm": """@inproceedings{wu2024pnpdm,
  title={Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play Priors},
  author={Wu, Zihui and Sun, Yu and Chen, Yifan and Zhang, Bingliang and Yue, Yisong and Bouman, Katherine L.},
  booktitle={Advances in Neural Information Processing Systems},
  year={2024}
}""",
    "smc": """@inproceedings{wu2023tds,
  title={Practical and Asymptotically Exact Conditional Sampling in Diffusion Models},
  author={Wu, Luhuan and Trippe, Brian L. and Naesseth, Christian A. and Blei, David M. and Cunningham, John P.},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}""",
    "gdp": """@inproceedings{fei2023gdp,
  title={Generative Diffusion Prior for Unified Image Restoration and Enhancement},
  author={Fei, Ben and Lyu, Zhaoyang and Pan, Liang and Zhang, Junzhe and Yang, Weidong and Luo, Tianyue and Zhang, Bo and Dai, Bo},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages={9935--9946},
  year={2023}
}""",
    "pnpflow": """@inproceedings{martin2025pnpflow,
  title={{PnP-Flow}: Plug-and-Play Image Restoration with Flow Matching},
  author={Martin, S{\\'e}gol{\\`e}ne and Gagneux, Anne and Hagemann, Paul and Steidl, Gabriele},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
    "flowdps": """@inproceedings{kim2025flowdps,
  title={{FlowDPS}: Flow-Driven Posterior Sampling for Inverse Problems},
  author={Kim, Jeongsol and Kim, Bryan Sangwoo and Ye, Jong Chul},
  booktitle={IEEE/CVF International Conference on Computer Vision},
  year={2025}
}""",
    "enkg": """@article{zheng2025enkg,
  title={Ensemble {Kalman} Diffusion Guidance: A Derivative-free Method for Inverse Problems},
  author={Zheng, Hongkai and Chu, Wenda and Wang, Austin and Kovachki, Nikola B. and Baptista, Ricardo and Yue, Yisong},
  journal={arXiv preprint arXiv:2409.20175},
  year={2024}
}""",
}
